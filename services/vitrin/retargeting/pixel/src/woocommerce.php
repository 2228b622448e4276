<?php
/**
 * Plugin Name: Vitrin pixel for WooCommerce
 * Description: Loads Vitrin's pixel and tells it of products, carts and orders. Copy this file into wp-content/plugins,
 *              define VITRIN_KEY and VITRIN_ENDPOINT in wp-config.php, and activate it.
 * License: Apache-2.0
 *
 * Consent: the pixel holds everything back until vitrin('consent', {...}) is called or a TCF tool answers. With the WP
 * Consent API installed its choice is passed on; without it call vitrin('consent', ...) from your banner.
 */

if (!defined('ABSPATH')) {
    exit;
}

/** @return array<string, mixed> how an event names goods: by the shop's own ids */
function vitrin_goods($product, $quantity = 1) {
    return array(
        'item_id' => 'variant:' . $product->get_id(),
        'quantity' => (int) $quantity,
        'price' => (float) $product->get_price(),
    );
}

function vitrin_call() {
    echo 'vitrin.apply(null,' . wp_json_encode(func_get_args(), JSON_HEX_TAG | JSON_HEX_AMP) . ');';
}

add_action('wp_head', function () {
    if (!defined('VITRIN_KEY') || !defined('VITRIN_ENDPOINT')) {
        return;
    }
    echo '<script>window.vitrin=window.vitrin||function(){(window.vitrin.q=window.vitrin.q||[]).push(arguments)};';
    if (is_product()) {
        $product = wc_get_product(get_the_ID());
        if ($product) {
            vitrin_call('track', 'view_item', array(
                'items' => array(vitrin_goods($product)),
                'value' => (float) $product->get_price(),
                'currency' => get_woocommerce_currency(),
            ));
        }
    } elseif (is_product_category()) {
        vitrin_call('track', 'view_collection', array('properties' => array('collection' => single_term_title('', false))));
    } elseif (is_search()) {
        vitrin_call('track', 'search', array('search_term' => get_search_query(false)));
    } elseif (is_checkout() && !is_order_received_page() && WC()->cart && !WC()->cart->is_empty()) {
        $items = array();
        foreach (WC()->cart->get_cart() as $line) {
            $items[] = vitrin_goods($line['data'], $line['quantity']);
        }
        vitrin_call('track', 'begin_checkout', array(
            'items' => $items,
            'value' => (float) WC()->cart->get_total('edit'),
            'currency' => get_woocommerce_currency(),
        ));
    }
    if (is_user_logged_in()) {
        vitrin_call('identify', array('customer_id' => (string) get_current_user_id()));
    }
    echo '</script>';
    printf(
        '<script async src="%1$s/pixel.js" data-endpoint="%1$s" data-key="%2$s"></script>' . "\n",
        esc_url(untrailingslashit(VITRIN_ENDPOINT)),
        esc_attr(VITRIN_KEY)
    );
    echo '<script>document.addEventListener("wp_listen_for_consent_change",function(){' .
        'if(window.wp_has_consent)vitrin("consent",{analytics:wp_has_consent("statistics"),ads:wp_has_consent("marketing")})});' .
        'document.addEventListener("DOMContentLoaded",function(){if(window.jQuery)jQuery(document.body).on("added_to_cart",' .
        'function(e,f,h,b){if(!b||!b.data)return;vitrin("track","add_to_cart",{items:[{item_id:"variant:"+b.data("product_id"),' .
        'quantity:Number(b.data("quantity"))||1}]})})});</script>' . "\n";
});

/* Once per order, whoever reloads the page: the event's id is made of the order's, and the server's event has the same. */
add_action('woocommerce_thankyou', function ($order_id) {
    $order = wc_get_order($order_id);
    if (!$order || $order->has_status('failed')) {
        return;
    }
    $items = array();
    foreach ($order->get_items() as $line) {
        $product = $line->get_product();
        if ($product) {
            $items[] = vitrin_goods($product, $line->get_quantity());
        }
    }
    echo '<script>';
    vitrin_call('identify', array_filter(array(
        'email' => $order->get_billing_email(),
        'phone' => $order->get_billing_phone(),
        'first_name' => $order->get_billing_first_name(),
        'last_name' => $order->get_billing_last_name(),
    )));
    vitrin_call('track', 'purchase', array(
        'order_id' => (string) $order->get_id(),
        'items' => $items,
        'value' => (float) $order->get_total(),
        'currency' => $order->get_currency(),
    ));
    echo '</script>';
});
